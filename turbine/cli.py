"""The command line. Options are read here; what they mean is in `turbine._cli_support`."""

import difflib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from turbine import _cli_support as support
from turbine._cli_explain import explain
from turbine._cli_lists import clean_versions, completion, model, models, tables
from turbine._cli_migrate import migrate
from turbine._cli_operator import doctor, rebalance, reset
from turbine._cli_snapshot import snapshot
from turbine._cli_state import state
from turbine._cli_support import Invocation, ignored
from turbine._cli_user import command_of_app, commands_of_app
from turbine.exceptions import KafkaError, TurbineError

if TYPE_CHECKING:
    from turbine.app import App

__all__ = ["cli", "main"]


class _Level(click.Choice[str]):
    """A level of log lines; Faust's short names are taken too."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read one."""
        short = {"warn": "warning", "crit": "critical"}
        return super().convert(short.get(str(value).lower(), value), param, ctx)


_LEVEL = _Level(["debug", "info", "warning", "error", "critical"], case_sensitive=False)
_PORT = click.IntRange(0, 65_535)
_FILE = click.Path(exists=True, dir_okay=False)
_CONTEXT = {"help_option_names": ["--help"], "max_content_width": 100}


class Cli(click.Group):
    """Turns our exceptions into a sentence, and offers the closest command."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (TurbineError, OSError) as exc:
            if isinstance(exc, BrokenPipeError) or (ctx.obj is not None and ctx.obj.debug):
                raise
            raise click.ClickException(support.explain(exc)) from exc

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find a command, of ours or of the app."""
        return super().get_command(ctx, cmd_name) or command_of_app(ctx, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name all commands, those of the app last."""
        ours = super().list_commands(ctx)
        return [*ours, *(name for name in commands_of_app(ctx) if name not in ours)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as exc:
            close = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if not close:
                raise
            message = f"{exc.format_message()} Did you mean {close[0]!r}?"
            raise click.UsageError(message, ctx) from None


def _show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's call
    if not value or ctx.resilient_parsing:
        return
    from turbine._native import __version__, build_profile

    python = ".".join(map(str, sys.version_info[:3]))
    click.echo(f"turbine {__version__} ({build_profile}, Python {python})")
    ctx.exit()


@click.group(cls=Cli, context_settings=_CONTEXT)
@click.option(
    "-A",
    "--app",
    "app_name",
    envvar="TURBINE_APP",
    metavar="APP",
    is_eager=True,
    help="The app: proj, proj.module, proj.module:app or path/to/file.py.",
)
@click.option("-q", "--quiet/--no-quiet", help="No banner, and only warnings in the log.")
@click.option("--debug/--no-debug", help="Show tracebacks and debug lines.")
@click.option(
    "-W",
    "--workdir",
    is_eager=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Change to this directory first.",
)
@click.option(
    "-D",
    "--datadir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for local state.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")
@click.option("-l", "--loglevel", type=_LEVEL, help="Least level of log lines.")
@click.option(
    "-f",
    "--logfile",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write log lines to this file.",
)
@ignored("-L", "--loop")
@ignored("--blocking-timeout")
@ignored("--console-port")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version.",
)
@click.pass_context
def cli(ctx: click.Context, /, workdir: Path | None, **options: Any) -> None:
    """
    Run and look at stream-processing apps.

    \b
    Start a broker for development, then a worker, then send it something:
      turbine broker
      turbine -A examples/hello.py worker -l info
      turbine -A examples/hello.py send orders '{"user": "ada", "amount": 120}'
    """  # noqa: D301 - click's mark for "keep these lines"
    given = ctx.ensure_object(Invocation)
    for name, value in options.items():
        if value is not None and value is not False:
            setattr(given, name, value)
    given.enter(workdir)


@cli.command()
@click.option("-l", "--loglevel", type=_LEVEL, help="Least level of log lines.  [default: info]")
@click.option(
    "--api-port", type=_PORT, help="Port for health and metrics; 0: any free one.  [default: 8400]"
)
@click.option("--api-host", help="Address for health and metrics.  [default: 127.0.0.1]")
@click.option("-p", "--web-port", type=_PORT, help="Port of the app's own pages.  [default: 6066]")
@click.option("-b", "--web-bind", help="Address that the app's own pages are served at.")
@click.option("-h", "--web-host", help="Name under which other workers reach these pages.")
@click.option("--web-transport", help="unix:///PATH: serve the pages at a socket there.")
@ignored("--blocking-timeout")
@ignored("--console-port")
@click.option(
    "-f",
    "--logfile",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write log lines to this file.",
)
@click.option("--with-web/--without-web", "web", default=None, help="Serve HTTP, or do not.")
@click.option(
    "-D",
    "--datadir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for local state; one for each worker of a machine.",
)
@click.pass_obj
def worker(given: Invocation, /, loglevel: str | None, **options: Any) -> None:
    """
    Run a worker until INT or TERM; then it drains and commits.

    \b
    Examples:
      turbine -A proj.app worker -l info
      turbine -A path/to/file.py worker --api-port 0 --datadir /var/lib/orders

    A second INT, or QUIT, ends it at once. USR1 writes every task and partition to the log.
    """  # noqa: D301 - click's mark for "keep these lines"
    given.logfile = options["logfile"] or given.logfile
    given.start_logging(loglevel)
    app = given.load()
    support.logs_of_app(app)
    for setting, value in (
        ("api_port", options["api_port"]),
        ("api_host", options["api_host"]),
        ("web_port", options["web_port"]),
        ("web_bind", options["web_bind"]),
        ("web_host", options["web_host"]),
        ("web_transport", options["web_transport"]),
        ("web_enabled", options["web"]),
        ("datadir", options["datadir"]),
    ):
        if value is not None:
            setattr(app.conf, setting, value)
    sys.exit(support.run_worker(app, given))


@cli.command()
@click.argument("entity", metavar="TOPIC|@AGENT")
@click.argument("value", required=False)
@click.option("-k", "--key", help="Key of the record.")
@click.option("-K", "--key-type", help="Check the key: str, int, json, or a model's full name.")
@click.option(
    "-V", "--value-type", help="Check the value: str, int, float, json, or a model's full name."
)
@click.option(
    "-r",
    "--repeat",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Send it this many times.",
)
@click.option(
    "--partition", type=click.IntRange(min=0), help="Partition; chosen by the key if left out."
)
@click.option("--key-serializer", help="Codec of the key, as json or raw, instead of its type.")
@click.option("--value-serializer", help="Codec of the value, instead of its type.")
@click.option(
    "--min-latency",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Shortest pause after each of --repeat, in seconds.",
)
@click.option(
    "--max-latency",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Longest pause after each of --repeat, in seconds.",
)
@click.option("-b", "--broker", help="Broker addresses, instead of the app's.")
@click.pass_obj
def send(given: Invocation, /, entity: str, value: str | None, **options: Any) -> None:
    """
    Send VALUE to a topic, or to what an agent reads.

    \b
    Examples:
      turbine -A proj.app send @handle '{"id": 1, "amount": 9.5}'
      turbine -A proj.app send orders -k berlin '{"id": 1}'
      turbine send -b localhost:9092 orders - < orders.jsonl

    A VALUE of - sends each line of standard input. Without VALUE a tombstone is sent.
    """  # noqa: D301 - click's mark for "keep these lines"
    from turbine import _cli_send

    conf, topic, declared = _cli_send.resolve(given, entity)
    if options["broker"]:
        conf.broker = options["broker"]
    value_type = None if declared is None else declared.value_type
    codec = _cli_send.type_of_codec
    places = _cli_send.send(
        conf,
        topic,
        [
            _cli_send.encode(
                text, options["value_type"] or codec(options["value_serializer"]), value_type
            )
            for text in _cli_send.texts_of(value)
        ],
        key=_cli_send.encode(
            options["key"], options["key_type"] or codec(options["key_serializer"])
        ),
        partition=options["partition"],
        repeat=options["repeat"],
        pause_s=(options["min_latency"], options["max_latency"]),
    )
    for meta in places:
        if given.as_json:
            click.echo(json.dumps(meta._asdict()))
        elif not given.quiet:
            click.echo(f"{meta.topic}[{meta.partition}]@{meta.offset}")


@cli.command()
@click.option("--local/--no-local", help="Also agents that read a channel.", default=True)
@click.pass_obj
def agents(given: Invocation, /, *, local: bool) -> None:
    """
    List the agents of an app.

    \b
    Example:
      turbine -A proj.app agents
      turbine -A proj.app --json agents
    """  # noqa: D301 - click's mark for "keep these lines"
    from turbine import banner

    columns = ["name", "reads", "sinks", "concurrency", "on_error", "help"]
    app = given.load()
    rows = [row for row in banner.agent_rows(app) if local or app.agents[row["name"]].topics]
    banner.show_table(rows, columns, as_json=given.as_json)


@cli.command()
@click.pass_obj
def topics(given: Invocation, /) -> None:
    """
    List the topics of an app, with their partitions if a broker answers.

    \b
    Example:
      turbine -A proj.app topics
    """  # noqa: D301 - click's mark for "keep these lines"
    from turbine import banner

    app = given.load()
    try:
        found = support.partitions_of(app.conf)
    except KafkaError as exc:
        found = None
        click.echo(f"Warning: {support.explain(exc)}", err=True)
    columns = ["name", "partitions", "read_by", "written_by"]
    banner.show_table(banner.topic_rows(app, found), columns, as_json=given.as_json)


@cli.command()
@click.option("--port", type=_PORT, default=9_092, show_default=True, help="Port; 0: any free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--advertised",
    metavar="HOST[:PORT]",
    help="What clients are told instead, where a proxy or a container lies between.",
)
@click.option(
    "--nodes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Nodes of the cluster, each with the next port.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep records in this directory.",
)
@click.option("--memory", is_flag=True, help="Keep records in memory, which is the default.")
@click.option(
    "--partitions",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Partitions of a topic that is created by its first use.",
)
@click.option(
    "--retention-bytes",
    type=click.IntRange(min=1),
    help="Bytes that a partition keeps unless its topic says otherwise.  [default: all]",
)
@click.option(
    "--memory-bytes",
    type=click.IntRange(min=1),
    default=1 << 30,
    show_default=True,
    help="Most memory for records; beyond it, the oldest of the largest partitions go.",
)
@click.option(
    "--schema-registry",
    type=click.IntRange(min=0, max=65_535),
    metavar="PORT",
    help="Serve a schema registry too; 0 takes any free port.",
)
@click.option("--tls-cert", type=_FILE, help="Certificate for TLS, in PEM, with --tls-key.")
@click.option("--tls-key", type=_FILE, help="Its key, in PEM, without a password.")
@click.option("--tls-client-ca", type=_FILE, help="Who signs the certificates of clients, in PEM.")
@click.option(
    "--sasl-user",
    "users",
    multiple=True,
    metavar="NAME:PASSWORD",
    help="A user; with one, clients must authenticate. Several times for several. Others on this "
    "machine can see the password.",
)
@click.pass_obj
def broker(given: Invocation, /, *, memory: bool, **options: Any) -> None:
    """
    Run a broker for development: one process, no replicas.

    \b
    Examples:
      turbine broker
      turbine broker --port 9093 --data-dir ./broker-data
      turbine broker --nodes 3

    Any Kafka client can use it. It ends with INT or TERM.
    """  # noqa: D301 - click's mark for "keep these lines"
    data_dir, host = options["data_dir"], options["host"]
    if memory and data_dir is not None:
        raise click.UsageError("--memory and --data-dir exclude each other: keep one")
    users = dict(_user(text) for text in options["users"])
    tls = _tls(options["tls_cert"], options["tls_key"], options["tls_client_ca"])
    given.start_logging(given.loglevel or "warning")
    if not support.is_loopback(host) and not users and not options["tls_client_ca"]:
        click.echo(
            f"Warning: whoever reaches {host} can read and write every record: "
            "this broker asks nobody for a password",
            err=True,
        )
    wanted = support.run_broker(
        host=host,
        port=options["port"],
        advertised=options["advertised"],
        nodes=options["nodes"],
        data_dir=None if data_dir is None else str(data_dir),
        default_partitions=options["partitions"],
        retention_bytes=options["retention_bytes"],
        memory_bytes=options["memory_bytes"],
        tls=tls,
        users=users,
        schema_registry=options["schema_registry"],
    )
    with wanted as (address, registry):
        where = f"in {data_dir}" if data_dir is not None else "in memory"
        if given.as_json:
            facts = {"address": address, "records": where}
            click.echo(json.dumps(facts | ({"schema_registry": registry} if registry else {})))
        else:
            click.echo(f"broker at {address}, records {where}")
            settings = f"TURBINE_BROKER={address}"
            if registry:
                click.echo(f"schema registry at {registry}")
                settings += f" TURBINE_SCHEMA_REGISTRY={registry}"
            click.echo(f"next: {settings} turbine -A path/to/app.py worker")
        support.until_signal()


cli.add_command(clean_versions)
cli.add_command(completion)
cli.add_command(doctor)
cli.add_command(migrate)
cli.add_command(model)
cli.add_command(models)
cli.add_command(explain)
cli.add_command(tables)
cli.add_command(rebalance)
cli.add_command(reset)
cli.add_command(snapshot)
cli.add_command(state)


def _tls(certificate: str | None, key: str | None, client_ca: str | None) -> Any:
    given = [name for name in (certificate, key, client_ca) if name is not None]
    if given and (certificate is None or key is None):
        raise click.UsageError("TLS: give both --tls-cert and --tls-key")
    return tuple(given) or None


def _user(text: str) -> tuple[str, str]:
    name, colon, password = text.partition(":")
    if not (name and colon and password):
        # What is wrong with it is not shown: it may be a password.
        raise click.UsageError("--sasl-user: give NAME:PASSWORD")
    return name, password


def main(argv: Sequence[str] | None = None, *, app: "App | None" = None) -> None:
    """
    Be the command line and end the process.

    Args:
        argv: Arguments without the program's name; those of the process if None.
        app: The app that started it, which then needs no ``-A``.
    """
    cli.main(args=None if argv is None else list(argv), obj=Invocation(app=app))


if __name__ == "__main__":
    main()
