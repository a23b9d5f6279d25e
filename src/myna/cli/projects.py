"""`myna projects`: tenants that share a server and can't see each other's data."""

from collections import Counter
from typing import Annotated

import typer

from myna.cli.administration import moment, open_administration, plain, project_of, show_columns, show_json
from myna.cli.console import say
from myna.cli.language import translated
from myna.core.translatable import N_

app = typer.Typer(no_args_is_help=True, help="Create, list, rename and archive projects.")

Project = Annotated[str, typer.Argument(help="The project's id, or its name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="The name of the project.")], as_json: AsJson = False
) -> None:
    """Create a project. Its keys see only its own stored completions and usage.

    **Example**: `myna keys create web --project $(myna projects create Website)`
    """
    with open_administration() as session:
        project = session.administration.create_project(session.actor, name)
    if as_json:
        show_json(plain(project))
    else:
        typer.echo(project.id)


@app.command("list")
def list_projects(
    with_archived: Annotated[bool, typer.Option("--all", help="Include archived projects.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the projects."""
    with open_administration() as session:
        accounts = session.accounts()
    projects = [project for project in accounts.projects if with_archived or project.archived_at is None]
    if as_json:
        show_json([plain(project) for project in projects])
        return
    keys = Counter(key.project for key in accounts.keys if key.revoked_at is None)
    show_columns(
        {
            N_("ID"): [project.id for project in projects],
            N_("NAME"): [project.name for project in projects],
            N_("KEYS"): [str(keys[project.id]) for project in projects],
            N_("CREATED"): [moment(project.created_at) for project in projects],
            N_("STATUS"): [
                translated(N_("archived") if project.archived_at else N_("active")) for project in projects
            ],
        }
    )


@app.command()
def rename(project: Project, name: Annotated[str, typer.Argument(help="The new name.")]) -> None:
    """Rename a project; its id stays the same."""
    with open_administration() as session:
        changed = session.administration.rename_project(
            session.actor, project_of(session.accounts(), project), name
        )
    say(N_("{id} is now called {name}.", id=changed.id, name=changed.name))


@app.command()
def archive(project: Project) -> None:
    """Archive a project permanently: its keys stop working; its usage stays on record."""
    with open_administration() as session:
        ended = session.administration.archive_project(session.actor, project_of(session.accounts(), project))
    say(N_("Archived {id} ({name}).", id=ended.id, name=ended.name))
