"""A blind listening test: two models' answers enter, what people prefer leaves, as one more figure of the verdict.

    reports or folders -> pairs.py -> loudness.py -> prepare.py -> ListeningTest (clips that betray nothing)
    a rater            -> trials.py (order, sides, attention checks) -> a web page -> answers.py (any database)
    answers            -> analysis.py (clustered by rater) -> result.py -> ListeningResult -> compare

Nothing here knows the web; the page is flows/listening_test/. (`listen` alone is a training stage: listen.py.)
"""
