"""What the server allows: every limit, and who may use it. Each is an option and an environment variable, PERFRDIFF_….

The limits of one run's own settings are in `ReactRequest`; here is what a visitor, and all of them together, may take.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from perfrdiff.errors import InputError
from perfrdiff.features import MAX_SECONDS

PREFIX = "PERFRDIFF_"
YES, NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")
PUBLIC_LIMITS = {"client_jobs": 60, "client_mb": 3000.0}
"""What stands for "no limit" where others can reach the page; on loopback everybody uses a machine of their own."""


def _setting(default: object, help: str, low: float | None = None, high: float | None = None) -> Any:
    return field(default=default, metadata={"help": help, "low": low, "high": high})


@dataclass(frozen=True)
class ServerSettings:
    """The settings of the page as a server. `read` makes it; InputError for a value that is none, or out of range."""

    upload_mb: float = _setting(300.0, "largest file that may be uploaded, in MB", 1, 10_000)
    longest_seconds: float = _setting(MAX_SECONDS, "longest speaker that is taken, in seconds", 1, MAX_SECONDS)
    megapixels: float = _setting(64.0, "largest photo, and largest picture of a video, in megapixels", 1, 64)
    queue: int = _setting(24, "runs of all visitors that may wait", 1, 1000)
    client_queue: int = _setting(8, "runs of one visitor that may wait", 1, 1000)
    client_jobs: int = _setting(0, "runs that one address may ask for in the window; 0: no limit", 0, 1_000_000)
    client_mb: float = _setting(0.0, "MB that one address may upload in the window; 0: no limit", 0, 1_000_000)
    client_minutes: float = _setting(60.0, "length of that window, in minutes", 1, 1440)
    job_minutes: float = _setting(60.0, "longest time that a run may take, in minutes", 0.001, 1440)
    live_sessions: int = _setting(2, "live sessions at a time", 0, 100)
    live_minutes: float = _setting(15.0, "length of a live session, in minutes", 0.1, 1440)
    live_idle_seconds: float = _setting(60.0, "seconds without a message after which a live session ends", 1, 3600)
    auth: Path | None = _setting(None, "file of visitors who may come in, a line NAME:PASSWORD each")  # noqa: RUF009  (it is a field)
    public: bool = _setting(False, "serve the page to whoever can reach it, without asking for a name")
    ssl_certfile: Path | None = _setting(None, "certificate for HTTPS (PEM)")  # noqa: RUF009  (it is a field)
    ssl_keyfile: Path | None = _setting(None, "its key (PEM)")  # noqa: RUF009  (it is a field)
    credentials_key: Path | None = _setting(None, "key (PEM) that signs content credentials into each MP4")  # noqa: RUF009  (it is a field)
    credentials_certificate: Path | None = _setting(None, "its certificate and those that signed it (PEM)")  # noqa: RUF009  (it is a field)
    decode_apart: bool = _setting(True, "decode what visitors upload in processes of their own, shut in")
    metrics: bool = _setting(False, "answer /metrics, in Prometheus' text format")

    def __post_init__(self) -> None:
        for one in fields(self):
            value, low, high = getattr(self, one.name), one.metadata["low"], one.metadata["high"]
            if low is not None and not low <= value <= high:  # also catches NaN
                raise InputError(f"{_told(one.name)} must lie between {low:g} and {high:g}; it is {value:g}.")
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            raise InputError(
                "HTTPS needs both files: name the certificate (--ssl-certfile) and its key (--ssl-keyfile)."
            )
        for path in (self.ssl_certfile, self.ssl_keyfile):
            if path is not None and not os.access(path, os.R_OK):
                raise InputError(f"{path} cannot be read; HTTPS needs the certificate and its key as PEM files.")
        if (self.credentials_key is None) != (self.credentials_certificate is None):
            raise InputError(
                "Content credentials need both files: name the key (--credentials-key) and its certificate "
                "(--credentials-certificate)."
            )

    @classmethod
    def read(cls, options: Mapping[str, object], environment: Mapping[str, str]) -> ServerSettings:
        """The settings of a start. An option goes before its environment variable, that before the default.

        Where others than this machine can reach the page, limits of one address that are not named are those of
        `PUBLIC_LIMITS`, and on Hugging Face's Spaces, which set SPACE_ID, the page is public: a Space says itself
        who may see it.
        """
        given: dict[str, object] = {}
        for one in fields(cls):
            text = environment.get(PREFIX + one.name.upper())
            value = options.get(one.name)
            if value is None and text is not None and text.strip():
                value = text
            if value is not None:
                given[one.name] = _converted(one.name, str(one.type), value)
        if environment.get("SPACE_ID"):
            given.setdefault("public", True)
        if is_reachable(environment):
            given = PUBLIC_LIMITS | given
        return cls(**given)  # type: ignore[arg-type]

    def check_address(self, environment: Mapping[str, str]) -> None:
        """Raise InputError where the page would be open to others, and nobody said that it should be."""
        if is_reachable(environment) and not self.public and self.auth is None:
            where = environment.get("GRADIO_SERVER_NAME") or "a public address"
            raise InputError(
                f"The page would be open to everybody who can reach {where}: name a file of visitors (--auth FILE), or "
                "say that it is meant (--public)."
            )

    def users(self) -> dict[str, str]:
        """Name -> password of the visitors' file; empty where none is named.

        Raises InputError: a file that cannot be read, is empty, or has a line without a name or a password.
        """
        if self.auth is None:
            return {}
        try:
            lines = self.auth.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            raise InputError(f"{self.auth} cannot be read; it has a line NAME:PASSWORD for each visitor.") from None
        users = {}
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, colon, password = line.strip().partition(":")
            if not (name and colon and password) or name in users:
                raise InputError(f"Line {number} of {self.auth} is no NAME:PASSWORD, or names somebody a second time.")
            users[name] = password
        if not users:
            raise InputError(f"{self.auth} names nobody; it has a line NAME:PASSWORD for each visitor.")
        return users

    def lines(self) -> list[str]:
        """What is printed at the start: every setting with its value; of files only whether there are any."""
        shown = {}
        for one in fields(self):
            value = getattr(self, one.name)
            is_switch = isinstance(value, bool) or value is None or isinstance(value, Path)
            shown[one.name] = ("yes" if value else "no") if is_switch else f"{value:g}"
        return ["Server: " + ", ".join(f"{name} {value}" for name, value in shown.items())]


DEFAULTS = ServerSettings()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an option for every setting; those that are not given stay None."""
    group = parser.add_argument_group(
        "the server", "Each is also an environment variable: --upload-mb is PERFRDIFF_UPLOAD_MB."
    )
    for one in fields(ServerSettings):
        option, default = "--" + one.name.replace("_", "-"), one.default
        if isinstance(default, bool):
            group.add_argument(option, action=argparse.BooleanOptionalAction, default=None, help=one.metadata["help"])
        else:
            ending = "" if default is None else f" (default: {default:g})"
            metavar = "FILE" if default is None else "N"
            group.add_argument(option, metavar=metavar, help=one.metadata["help"] + ending)


def given(options: argparse.Namespace) -> dict[str, object]:
    """What the options of `add_arguments` name."""
    return {one.name: getattr(options, one.name) for one in fields(ServerSettings)}


def is_reachable(environment: Mapping[str, str]) -> bool:
    """Whether others than this machine can reach the page, by the variables that Gradio reads."""
    if environment.get("GRADIO_SHARE", "").strip().lower() in YES or environment.get("SPACE_ID"):
        return True
    name = environment.get("GRADIO_SERVER_NAME", "").strip().strip("[]") or "127.0.0.1"
    try:
        return not ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name != "localhost"


def _told(name: str) -> str:
    return f"--{name.replace('_', '-')} ({PREFIX}{name.upper()})"


def _converted(name: str, kind: str, value: object) -> object:
    """A value, of text or already of its kind. Raises InputError where it is none."""
    text = str(value).strip()
    if kind == "bool":
        if isinstance(value, bool):
            return value
        if text.lower() not in YES + NO:
            raise InputError(f"{_told(name)} must be 1 or 0; it is {text}.")
        return text.lower() in YES
    if kind in ("int", "float"):
        try:
            return int(text) if kind == "int" else float(text)
        except ValueError:
            what = "whole number" if kind == "int" else "number"
            raise InputError(f"{_told(name)} must be a {what}; it is {text}.") from None
    return Path(text)
