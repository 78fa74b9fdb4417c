"""A Plan enters, what a person reads of it leaves: derived quantities, the table of parts, stages and time."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.table import Table

from data_contracts.plan import Plan


def show_plan(console: Console, plan: Plan) -> None:
    """All of it."""
    console.print(derived_table(plan))
    console.print(plan_table(plan))
    console.print(f"to run: {', '.join(plan.stages_to_run) or 'nothing'}", highlight=False)
    console.print(f"kept: {', '.join(plan.stages_kept) or 'nothing'}", highlight=False)
    for estimate in plan.estimates:
        took = f"{estimate.seconds / 60:.1f} min" if estimate.seconds >= 60 else f"{estimate.seconds:.0f} s"
        console.print(f"{estimate.stage}: {estimate.steps} steps, about {took}", highlight=False)
    if plan.estimates:
        console.print(f"estimated for {plan.estimated_for}", highlight=False)
    for note in plan.notes:
        console.print(f"note: {note}", highlight=False)


def derived_table(plan: Plan) -> Table:
    """A row a quantity, a section a part."""
    table = Table("part", "quantity", "value", title=plan.title)
    for part, group in groupby(plan.derived, key=lambda line: line.part):
        for number, line in enumerate(group):
            table.add_row("" if number else part, line.quantity, line.value)
        table.add_section()
    return table


def plan_table(plan: Plan) -> Table:
    """A row a part."""
    table = Table("part", "changed?", "retrain?", "warm start", "data needed", title=plan.champion)
    for row in plan.rows:
        table.add_row(row.part, row.changed, row.retrain, row.warm_start, row.data_needed)
    return table
