"""General questions, each with an answer that a small instruction-tuned model knows and the word of it that decides.

Written for this project (Apache-2.0); none is about what the quickstart trains (lights, timers, capitals, weather, sums).
A Python file and no table of data, so that they belong to the cache key of evaluate.
"""

from __future__ import annotations

EXAMPLES = (
    ("What is the opposite of big?", "The opposite of big is small."),
    ("What do sheep give us?", "Sheep give us wool."),
    ("How many wheels does a bicycle have?", "A bicycle has two wheels."),
    ("Who wrote The Odyssey?", "The Odyssey was written by Homer."),
)
"""(question, answer) pairs that show the base model the form of an answer; none is asked."""
QUESTIONS = (
    ("What is the opposite of hot?", "The opposite of hot is cold.", "cold"),
    ("What is the opposite of day?", "The opposite of day is night.", "night"),
    ("What is the opposite of up?", "The opposite of up is down.", "down"),
    ("What is the opposite of empty?", "The opposite of empty is full.", "full"),
    ("What color is the sky on a clear day?", "The sky on a clear day is blue.", "blue"),
    ("What color is fresh grass?", "Fresh grass is green.", "green"),
    ("What color is a ripe banana?", "A ripe banana is yellow.", "yellow"),
    ("What color is snow?", "Snow is white.", "white"),
    ("What do bees make?", "Bees make honey.", "honey"),
    ("What do cows give us to drink?", "Cows give us milk.", "milk"),
    ("Which animal barks?", "The animal that barks is the dog.", "dog"),
    ("Which animal says meow?", "The animal that says meow is the cat.", "cat"),
    ("What is a baby dog called?", "A baby dog is called a puppy.", "puppy"),
    ("What is a baby cat called?", "A baby cat is called a kitten.", "kitten"),
    ("Where do fish live?", "Fish live in the water.", "water"),
    ("What do birds use to fly?", "Birds use their wings to fly.", "wings"),
    ("How many legs does a spider have?", "A spider has eight legs.", "eight"),
    ("How many days are in a week?", "There are seven days in a week.", "seven"),
    ("How many months are in a year?", "There are twelve months in a year.", "twelve"),
    ("Which day comes after Monday?", "The day after Monday is Tuesday.", "Tuesday"),
    ("Which month comes after January?", "The month after January is February.", "February"),
    ("Which season comes after winter?", "The season after winter is spring.", "spring"),
    ("What is frozen water called?", "Frozen water is called ice.", "ice"),
    ("Which planet do we live on?", "We live on the planet Earth.", "Earth"),
    ("What does the Earth go around?", "The Earth goes around the Sun.", "Sun"),
    ("Which planet is known as the red planet?", "The red planet is Mars.", "Mars"),
    ("What gas do people need to breathe?", "People need to breathe oxygen.", "oxygen"),
    ("Which organ pumps blood through the body?", "The organ that pumps blood is the heart.", "heart"),
    ("Which part of the body do we see with?", "We see with our eyes.", "eyes"),
    ("Which part of the body do we hear with?", "We hear with our ears.", "ears"),
    ("Who wrote Romeo and Juliet?", "Romeo and Juliet was written by William Shakespeare.", "Shakespeare"),
    ("Who painted the Mona Lisa?", "The Mona Lisa was painted by Leonardo da Vinci.", "Leonardo"),
    ("In which country are the pyramids of Giza?", "The pyramids of Giza are in Egypt.", "Egypt"),
    ("On which continent is Brazil?", "Brazil is on the continent of South America.", "South"),
    ("What is the largest ocean?", "The largest ocean is the Pacific Ocean.", "Pacific"),
    ("What language is spoken in Germany?", "The language spoken in Germany is German.", "German"),
    ("What language is spoken in France?", "The language spoken in France is French.", "French"),
    ("What is bread made from?", "Bread is made from flour.", "flour"),
    ("What is paper made from?", "Paper is made from wood.", "wood"),
    ("What is cheese made from?", "Cheese is made from milk.", "milk"),
    ("What do we use to cut paper?", "We use scissors to cut paper.", "scissors"),
    ("What do you use to open a locked door?", "You use a key to open a locked door.", "key"),
    ("What does a doctor do?", "A doctor helps people who are sick.", "people"),
    ("Where do children go to learn?", "Children go to school to learn.", "school"),
    ("Where can you borrow books?", "You can borrow books from a library.", "library"),
    ("What do plants need to grow?", "Plants need water and sunlight to grow.", "water"),
    ("Which metal do magnets attract?", "Magnets attract iron.", "iron"),
    ("What shape is a ball?", "A ball is round.", "round"),
    ("What is the first letter of the alphabet?", "The first letter of the alphabet is A.", "A"),
    ("How many sides does a triangle have?", "A triangle has three sides.", "three"),
)
"""(question, answer, key): the key stands once in the answer, as a whole word."""
