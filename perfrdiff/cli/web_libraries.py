"""Fetching what the page runs in the browser: the command `perfrdiff web-libraries`."""

import argparse


def run(_options: argparse.Namespace) -> int:
    """Fetch the libraries, and say where they are."""
    from page import web_libraries  # starlette takes its time to import: not before --help

    print(f"The browser libraries are in {web_libraries.install()}.")
    return 0
