"""Completion for shells: of the options, the studies with their variants, the fields and the values they allow."""

import dataclasses
from collections.abc import Sequence

from inr_jax.cli import config as configuration
from inr_jax.settings import FIELDS, Refused, Run, nearest

# Candidates by the word so far: bash breaks words at = and :, so whole words are matched and what stands is cut off.
BASH = """_inr_sweep() {{
  local line="${{COMP_LINE:0:COMP_POINT}}" word start
  word="${{line##* }}"
  start="${{word%"${{COMP_WORDS[COMP_CWORD]}}"}}"
  [[ "${{COMP_WORDS[COMP_CWORD]}}" == [=:] ]] && start="$word"
  local names="{names}" values="{values}"
  if [[ "$word" == *=* ]]; then names="$values"; fi
  mapfile -t COMPREPLY < <(compgen -W "$names" -- "$word")
  if [[ "$word" == --config=* && ${{#COMPREPLY[@]}} -eq 0 || "$word" == --out=* ]]; then
    mapfile -t COMPREPLY < <(compgen -P "${{word%%=*}}=" -f -- "${{word#*=}}")
    compopt -o filenames
  fi
  COMPREPLY=("${{COMPREPLY[@]#"$start"}}")
  [[ ${{#COMPREPLY[@]}} -eq 1 && "${{COMPREPLY[0]}}" == *= ]] && compopt -o nospace
}}
complete -F _inr_sweep inr-sweep
"""
ZSH = """#compdef inr-sweep
_inr_sweep() {{
  local -a names=({names}) values=({values})
  if [[ "$PREFIX" == --out=* ]]; then compset -P "*="; _files; return; fi
  if [[ "$PREFIX" == *=* ]]; then names=($values); fi
  compadd -S "" -a names
  if [[ "$PREFIX" == --config=* ]]; then compset -P "*="; _files -g "*.py"; fi
}}
compdef _inr_sweep inr-sweep
"""
SHELLS = {"bash": BASH, "zsh": ZSH}


def script(shell: str, options: Sequence[str], switches: Sequence[str]) -> str:
    """The script that a shell evaluates. Raises Refused for a shell that is not known."""
    if shell not in SHELLS:
        raise Refused(f"--completion={shell} is not known; {nearest(shell, SHELLS)}")
    found = words(options, switches)
    names = [word for word in found if not word.partition("=")[2]]
    return SHELLS[shell].format(names=" ".join(names), values=" ".join(word for word in found if word not in names))


def words(options: Sequence[str], switches: Sequence[str]) -> list[str]:
    """Every word of a command line that can be known: those that end in = want a value."""
    found = [f"--{name}=" for name in options] + [f"--{name}" for name in switches]
    engines = {f.name: f for f in dataclasses.fields(Run)}["engine"].metadata["choices"]
    found += [f"--{name}={value}" for name, these in (("engine", engines), ("completion", SHELLS)) for value in these]
    for name, path in configuration.studies().items():
        _, variants = configuration.about(path)
        found += [f"--config={name}", *(f"--config={name}:{variant}" for variant in variants)]
    meanings = FIELDS | {f.name: f for f in dataclasses.fields(Run)}
    for name in configuration.names():
        field = meanings.get(name.rpartition(".")[2])
        choices = field.metadata["choices"] if field else ()
        if field and type(field.default) is bool:
            choices = ("True", "False")
        found += [f"--config.{name}=", *(f"--config.{name}={choice}" for choice in choices)]
    return found
