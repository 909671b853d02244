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
    text = f"{about.what} [{config.PREFIX}{name.upper()}{'' if default in (None, False) else f'; default: {default}'}]"
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
def serve_command(**flags: Any) -> None:
    """Start the server.

    Every option has an environment variable and a key in the TOML file; the command line wins, then the environment.
    """
    from understudy import config

    settings = config.load(flags)
    from understudy.serve import serve

    serve(settings)


@cli.command("demo", cls=_SettingsCommand, names=_MODEL_SETTINGS)
def demo_command(**flags: Any) -> None:
    """See an assistant work: a server, a model, the official SDK, three languages."""
    from understudy import config, demo

    demo.run(config.load(flags), flags)


@cli.command("doctor", cls=_SettingsCommand)
def doctor_command(**flags: Any) -> None:
    """Say what is missing or misconfigured, and how to mend it. Exit code 1: something needed is broken."""
    from understudy import doctor

    raise SystemExit(doctor.report(flags))


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


def main() -> None:
    """Run the command line."""
    cli(prog_name="understudy")
