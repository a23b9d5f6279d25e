"""`myna projects`: tenants that share a server and see nothing of each other."""

from collections import Counter
from typing import Annotated

import typer

from myna.cli.desk import moment, open_desk, plain, project_of, show_columns, show_json
from myna.cli.language import translated
from myna.cli.screen import say

app = typer.Typer(no_args_is_help=True, help="Make, list, rename and archive projects.")

Project = Annotated[str, typer.Argument(help="The project's id, or its name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def create(name: Annotated[str, typer.Argument(help="What it is called.")], as_json: AsJson = False) -> None:
    """Make a project: its keys see its own stored completions and usage alone.

    **Example**: `myna keys create web --project $(myna projects create Website)`
    """
    with open_desk() as desk:
        project = desk.administration.create_project(desk.actor, name)
    if as_json:
        show_json(plain(project))
    else:
        typer.echo(project.id)


@app.command("list")
def list_projects(
    with_archived: Annotated[bool, typer.Option("--all", help="Archived projects too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the projects."""
    with open_desk() as desk:
        accounts = desk.accounts()
    projects = [project for project in accounts.projects if with_archived or project.archived_at is None]
    if as_json:
        show_json([plain(project) for project in projects])
        return
    keys = Counter(key.project for key in accounts.keys if key.revoked_at is None)
    show_columns(
        {
            "ID": [project.id for project in projects],
            "NAME": [project.name for project in projects],
            "KEYS": [str(keys[project.id]) for project in projects],
            "MADE": [moment(project.created_at) for project in projects],
            "STATUS": [translated("archived" if project.archived_at else "active") for project in projects],
        }
    )


@app.command()
def rename(project: Project, name: Annotated[str, typer.Argument(help="What it is called now.")]) -> None:
    """Give a project another name; its id stays."""
    with open_desk() as desk:
        changed = desk.administration.rename_project(desk.actor, project_of(desk.accounts(), project), name)
    say(f"{changed.id} is called {changed.name} now.")


@app.command()
def archive(project: Project) -> None:
    """End a project: its keys open nothing from now on, for good; what it used stays on record."""
    with open_desk() as desk:
        ended = desk.administration.archive_project(desk.actor, project_of(desk.accounts(), project))
    say(f"Archived {ended.id} ({ended.name}).")
