"""Words and tables that a visitor reads, as HTML."""

from html import escape

from perfrdiff.pipeline.folder import ReactResult
from perfrdiff.pipeline.stages import STAGES
from perfrdiff.weights import WeightsSummary

HEAD = (
    "<h1>How would they react?</h1><p>Give a video of somebody talking and a picture of a listener, and see several "
    "ways in which that listener might react: nods, smiles, glances, in step with the talk.</p>"
)
LABELS = {
    "samples": "Number of reactions",
    "views": "Show them as",
    "style": "Listening style",
    "name": "Listener's name",
    "label": "AI-generated label",
    "transparent": "Transparent meshes",
}
"""Setting -> its widget's label, where the setting's own name would not do."""

TROUBLE = "Something went wrong on our side. Nothing was kept; please try again."


def stages(stage: str, fraction: float) -> str:
    """The progress of a run as HTML: a bar, and which stages are done."""
    names = list(STAGES)
    at = names.index(stage)
    items = [
        f'<li class="{"done" if index < at else "now" if index == at else ""}">{escape(name)}</li>'
        for index, name in enumerate(names)
    ]
    return (
        f'<div class="stages" role="status"><div class="bar"><i style="width:{fraction:.0%}"></i></div>'
        f"<ol>{''.join(items)}</ol></div>"
    )


def trouble(sentence: str) -> str:
    return f'<div class="trouble" role="alert">{escape(sentence)}</div>'


def outcome(result: ReactResult) -> str:
    """What a visitor should know about the run, as HTML."""
    seconds = result.seconds
    words = [f"{result.frames / 25:.1f} s of video, made in {seconds:.0f} s. Listening style: {result.style}."]
    notes = f'<div class="note">{"<br>".join(escape(note) for note in [*words, *result.notes])}</div>'
    return notes + habits_card(result.habits)


def habits_card(habits: tuple[tuple[str, str], ...]) -> str:
    """How the listener of a video listens, as measured, as HTML; nothing for a photo."""
    if not habits:
        return ""
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in habits)
    return f'<div class="habits"><h3>How this listener listens</h3><dl>{rows}</dl></div>'


def notice(weights: WeightsSummary, minutes: int) -> str:
    """The words below the page; what is uploaded is kept for so many minutes at most."""
    return (
        f"Use only faces that you may use. What you upload stays on this server and is deleted when you close the "
        f"page, after {minutes} minutes at the latest. The reactions are computer-made guesses of what "
        "a listener might do, never a record of what a person did; the files say so, too. "
        f"Weights: {weights.name}. {weights.description}"
    )
