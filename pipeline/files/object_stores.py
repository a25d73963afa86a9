"""Beam's FileSystems, with what its clients of object stores lack. `storage` imports it for paths with a scheme."""

import copy
import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from apache_beam.io.aws.clients.s3 import boto3_client
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, S3Options

__all__ = ["FileSystems", "configure"]

_make_s3_client: Final[Callable[..., Any]] = boto3_client.Client
_s3_clients: Final[dict[tuple[int, str], Any]] = {}  # by process and options: a forked socket serves only one of two


def configure(flags: Sequence[str]) -> None:
    """Give the file systems of this process their flags (endpoints, keys)."""
    options = PipelineOptions(list(flags))
    FileSystems.set_options(options)
    if options.view_as(GoogleCloudOptions).no_auth:
        _go_without_credentials()


def _go_without_credentials() -> None:
    # Beam's gcsio does not read --no_auth (2.77): each process of a machine without credentials asks for them for half
    # a minute before it goes on anonymously. This is what it then remembers.
    from apache_beam.internal.gcp.auth import _Credentials

    with _Credentials._credentials_lock:
        _Credentials._credentials, _Credentials._credentials_init = None, True


def _s3_client(options: Any) -> Any:
    """A client of Beam's for one file: its state is its own, the sessions and connections below are shared.

    Beam makes a new boto3 session for each operation (2.77, s3filesystem.py), 0.06 to 0.2 s of a core and a connection.
    """
    key = (os.getpid(), str(options.view_as(S3Options)))
    if key not in _s3_clients:
        _s3_clients[key] = _make_s3_client(options=options)
    return copy.copy(_s3_clients[key])


setattr(boto3_client, "Client", _s3_client)  # noqa: B010 - mypy takes no assignment to a class
