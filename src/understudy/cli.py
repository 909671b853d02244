"""The `understudy` command. Everything heavy is imported inside the command that needs it.

An UnderstudyError becomes one sentence on stderr and exit code 1; a wrong command line is exit code 2.
"""

from pathlib import Path
from typing import Any

import click

from understudy.errors import UnderstudyError

_MODEL_SETTINGS = (
    "config",
    "cache_dir",
    "model_url",
    "model_key",
    "model",
    "model_timeout_s",
    "model_context_window",
    "model_path",
    "default_upstream",
)
_PLACE_SETTINGS = ("config", "data_dir", "database_url")


class _Cli(click.Group):
    """Tells what went wrong in a sentence, not in a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UnderstudyError as problem:
            raise click.ClickException(str(problem)) from None


class _SettingsCommand(click.Command):
    """A command with an option for each setting, made when asked for: `understudy --help` needs none of them."""

    def __init__(self, *args: Any, names: tuple[str, ...] | None = None, **kwargs: Any) -> None:
        """`names` None takes every setting."""
        super().__init__(*args, **kwargs)
        self._names = names
        self._complete = False

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if not self._complete:
            from understudy import config

            self.params += [_option(name) for name in self._names or config.SCALARS]
            self._complete = True
        return super().get_params(ctx)


def _option(name: str) -> click.Option:
    """Make a setting's option. The settings check the value, so that every source has one wording."""
    from understudy import config

    field, flag, about = config.Settings.model_fields[name], name.replace("_", "-"), config.about(name)
    default = field.default if field.default_factory is None else None
    shown = "" if default in (None, False, ()) else f"; default: {default}"
    text = f"{about.what} [{config.PREFIX}{name.upper()}{shown}]"
    if field.annotation is bool:
        return click.Option([f"--{flag}/--no-{flag}", name], default=None, help=text)
    return click.Option([f"--{flag}", name], metavar=_metavar(name, field.annotation), help=text)


def _metavar(name: str, annotation: Any) -> str:
    kind = str(annotation)
    if "Path" in kind:
        return "PATH"
    if "int" in kind or "float" in kind:
        return "N"
    return "URL" if name.endswith("url") else "TEXT"


def _show_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        from understudy import __version__

        click.echo(f"understudy {__version__}")
        ctx.exit()


_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(cls=_Cli, context_settings=_HELP)
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="The version.")
def cli() -> None:
    """Understudy: a self-hosted server that speaks the Assistants API v2."""


@cli.command("serve", cls=_SettingsCommand)
@click.option("--worker/--no-worker", default=True, help="Work on runs too, or leave them to `understudy worker`.")
def serve_command(*, worker: bool, **flags: Any) -> None:
    """Start the server.

    Every option has an environment variable and a key in the TOML file; the command line wins, then the environment.
    """
    from understudy import config

    settings = config.load(flags)
    from understudy.serve import serve

    serve(settings, "all" if worker else "api")


@cli.command("worker", cls=_SettingsCommand)
def worker_command(**flags: Any) -> None:
    """Work on runs, beside servers on the same PostgreSQL and NATS. Its port answers /health and /metrics only."""
    from understudy import config

    settings = config.load(flags)
    from understudy.serve import serve

    serve(settings, "worker")


@cli.command("demo", cls=_SettingsCommand, names=_MODEL_SETTINGS)
def demo_command(**flags: Any) -> None:
    """See an assistant work: a server, a model, the official SDK, three languages."""
    from understudy import config, demo

    demo.run(config.load(flags), flags)


@cli.command("chat")
@click.argument("assistant", required=False)
@click.option(
    "--url",
    envvar="OPENAI_BASE_URL",
    default="http://127.0.0.1:8000/v1",
    show_default=True,
    help="Base URL of the server. [OPENAI_BASE_URL]",
)
@click.option("--key", envvar="OPENAI_API_KEY", help="API key, where the server needs one. [OPENAI_API_KEY]")
def chat_command(assistant: str | None, url: str, key: str | None) -> None:
    """Talk to an assistant in the terminal.

    ASSISTANT is an id or a name; without it, the newest is taken. Functions are answered by typing what they return.
    """
    from understudy import chat

    chat.run(url, key, assistant)


@cli.command("doctor", cls=_SettingsCommand)
def doctor_command(**flags: Any) -> None:
    """Say what is missing or misconfigured, and how to mend it. Exit code 1: something needed is broken."""
    from understudy import doctor

    raise SystemExit(doctor.report(flags))


_DATABASE_SETTINGS = ("config", "data_dir", "database_url")
_LIMIT = click.IntRange(min=1)


@cli.group("keys")
def keys_group() -> None:
    """API keys: make, show, revoke. A running server notices within a second."""


@keys_group.command("create", cls=_SettingsCommand, names=_DATABASE_SETTINGS)
@click.option("--project", default="proj_default", show_default=True, help="Whose objects the key's bearer sees.")
@click.option("--name", help="What you know the key by.")
@click.option("--admin", is_flag=True, help="May enter every project, named by the OpenAI-Project header.")
@click.option("--requests-per-minute", type=_LIMIT, help="Requests of this key in any minute.")
@click.option("--runs-at-once", type=_LIMIT, help="Unfinished runs that its project may have when it starts one.")
@click.option("--tokens-per-day", type=_LIMIT, help="Tokens that its project may have used this day (UTC) then.")
def keys_create_command(project: str, name: str | None, admin: bool, **flags: Any) -> None:
    """Make a key and print it: this once, since only its hash is kept."""
    from understudy import config, keys
    from understudy.storage.api_keys import Limits

    limits = Limits(**{limit: flags.pop(limit) for limit in Limits.__slots__})
    key, secret = keys.create(config.load(flags), project, name, limits, admin=admin)
    click.echo(f"Key {key.id} for project {key.project}. It is not shown again:", err=True)
    click.echo(secret)


@keys_group.command("list", cls=_SettingsCommand, names=_DATABASE_SETTINGS)
def keys_list_command(**flags: Any) -> None:
    """Show all keys: never the keys themselves."""
    from understudy import config, keys

    for line in keys.table(config.load(flags)):
        click.echo(line)


@keys_group.command("revoke", cls=_SettingsCommand, names=_DATABASE_SETTINGS)
@click.argument("key_id", metavar="ID")
def keys_revoke_command(key_id: str, **flags: Any) -> None:
    """Make a key useless, for ever."""
    from understudy import config, keys

    keys.revoke(config.load(flags), key_id)
    click.echo(f"Key {key_id} is revoked.")


@cli.command("migrate", cls=_SettingsCommand, names=_PLACE_SETTINGS)
def migrate_command(**flags: Any) -> None:
    """Bring a PostgreSQL database to this version's schema: before the first start, and before an upgrade."""
    from understudy import config

    settings = config.load(flags)
    from understudy.adapters import migrate

    click.echo(migrate(settings))


@cli.command("backup", cls=_SettingsCommand, names=_PLACE_SETTINGS)
@click.argument("dest", type=click.Path(path_type=Path))
def backup_command(dest: Path, **flags: Any) -> None:
    """Copy all that is kept into the new folder DEST, also while the server serves."""
    from understudy import backup, config

    click.echo(backup.save(config.load(flags), dest))


@cli.command("restore", cls=_SettingsCommand, names=_PLACE_SETTINGS)
@click.argument("src", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace what is there.")
def restore_command(src: Path, force: bool, **flags: Any) -> None:
    """Put back what the folder SRC holds. The server must not run."""
    from understudy import backup, config

    click.echo(backup.restore(config.load(flags), src, force=force))


@cli.command("export", cls=_SettingsCommand, names=(*_PLACE_SETTINGS, "files_url"))
@click.argument("dest", type=click.Path(path_type=Path))
def export_command(dest: Path, **flags: Any) -> None:
    """Write all that is kept into the folder DEST, for any other deployment. Started again, it goes on."""
    from understudy import config

    settings = config.load(flags)
    from understudy import archive

    click.echo(archive.save(settings, dest, lambda line: click.echo(line, err=True)))


@cli.command("import", cls=_SettingsCommand, names=(*_PLACE_SETTINGS, "files_url"))
@click.argument("src", type=click.Path(path_type=Path))
@click.option("--resume", is_flag=True, help="Go on with an import that was interrupted.")
def import_command(src: Path, *, resume: bool, **flags: Any) -> None:
    """Read the folder SRC, made by `export`, into an empty deployment whose servers do not run yet."""
    from understudy import config

    settings = config.load(flags)
    from understudy import archive

    click.echo(archive.load(settings, src, lambda line: click.echo(line, err=True), resume=resume))


@cli.group("models")
def models_group() -> None:
    """Where model names lead, and the embedded model's file."""


@models_group.command("list", cls=_SettingsCommand, names=_MODEL_SETTINGS)
def models_list_command(**flags: Any) -> None:
    """Show which upstream and model each name leads to."""
    from understudy import config, model_download

    for line in model_download.routes(config.load(flags)):
        click.echo(line)


@models_group.command("fetch", cls=_SettingsCommand, names=("config", "cache_dir"))
def models_fetch_command(**flags: Any) -> None:
    """Download the embedded model (1.1 GB) and check it; an interrupted download goes on where it stopped."""
    from understudy import config, model_download

    path = model_download.fetch(config.load(flags))
    click.echo(f"The embedded model is at {path}")


_SANDBOX_SETTINGS = ("config", "cache_dir", "sandbox_dir", "sandbox_uid")


@cli.group("sandbox")
def sandbox_group() -> None:
    """The jail that model-written code runs in."""


@sandbox_group.command("setup", cls=_SettingsCommand, names=_SANDBOX_SETTINGS)
def sandbox_setup_command(**flags: Any) -> None:
    """Build the Python that code runs with, if it is not there, and try the jail. A running server notices."""
    from understudy import config, sandbox_setup

    click.echo(sandbox_setup.setup(config.load(flags)))


def main() -> None:
    """Run the command line."""
    cli(prog_name="understudy")
