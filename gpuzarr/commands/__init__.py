"""The command line: ``gpuzarr info``, ``gpuzarr explain``, ``gpuzarr bench``, ``gpuzarr demo``.

Each command is one module; `gpuzarr.commands.cli` parses the arguments and imports the module of
the command that was asked for, so that none waits for the libraries of another.
"""
