"""Words and tables that a visitor reads, as HTML."""

from html import escape

from perfrdiff.pipeline.folder import ReactResult
from perfrdiff.pipeline.stages import STAGES
from perfrdiff.weights import WeightsSummary

TITLE = "How would they react?"
INTRODUCTION = (
    "Give a video of somebody talking and a picture of a listener, and see several ways in which that listener might "
    "react: nods, smiles, glances, in step with the talk."
)
HEAD = f"<h1>{TITLE}</h1><p>{INTRODUCTION}</p>"
LABELS = {
    "samples": "Number of reactions",
    "views": "Show them as",
    "style": "Listening style",
    "steps": "Quality",
    "name": "Listener's name",
    "label": "AI-generated label",
    "transparent": "Transparent meshes",
    "shift": "Saved style (.safetensors), in place of a style",
    "max_seconds": "Longest speaker (s)",
    "other_style": "The other listener",
    "other_share": "Share of the other",
    "other_listener": "Another listener of your own: video, features file or saved style",
}
"""Setting -> its widget's label, where the setting's own name would not do."""
PLAIN = {
    "samples": "How many different reactions to the same talk.",
    "views": "A head as a mesh, the listener's photo set in motion, or both.",
    "style": "How the listener tends to listen; a video brings a style of its own.",
    "steps": "Fast takes fewer steps; paper takes 50, as the published method does.",
    "strength": "0 is anybody, 1 this listener, 2 exaggerated.",
    "seed": "The same seed and settings give the same reactions.",
    "guidance_scale": "How closely the reactions follow the speaker.",
    "size": "Edge of each picture in pixels.",
    "label": "A small “AI-generated” on the videos.",
    "mesh_style": "The mesh lit and coloured, or grey on black as in research videos.",
    "mesh_identity": "Whom the mesh shows: the listener, or somebody made up.",
    "name": "What the captions call the listener.",
    "transparent": "Also each mesh without a ground (WebM).",
    "max_seconds": "Longer speakers are refused.",
    "other_style": "Somebody whose way of listening is mixed in, or compared.",
    "other_share": "0 is the listener above, 1 the other.",
    "weights": "What the program has learnt from.",
}
"""Setting -> one sentence for a visitor, where the programmer's would not do."""

COMPARED = {
    "listeners": "Listeners side by side",
    "strengths": "Strength 0, 1 and 2",
    "mixtures": "From one listener to the other",
}
"""Comparison -> its button, and the heading of its reactions."""
SAME = "The same speaker, seed and face in every cell; nothing but the way of listening differs."

TROUBLE = "Something went wrong on our side. Nothing was kept; please try again."
CANCELLED = "Cancelled. Nothing was kept of that run; what you chose is still here."


def duration(seconds: float) -> str:
    """Seconds as somebody would say them: rounded, and never less than a few."""
    if seconds < 4:
        return "a few seconds"
    if seconds < 55:
        return f"{max(5, 5 * round(seconds / 5))} s"
    if seconds < 90:
        return "1 minute"
    return f"{round(seconds / 60)} minutes"


def waiting(ahead: int, wait_seconds: float, left_seconds: float) -> str:
    """A run that has not begun."""
    runs = "1 run is" if ahead == 1 else f"{ahead} runs are"
    begins, ends = duration(wait_seconds), duration(left_seconds)
    words = f"{runs} before yours. It begins in about {begins} and is done in about {ends}."
    return (
        f'<div class="stages" data-state="waiting" data-announce="{escape(words)}">'
        f'<p class="now"><b>Waiting.</b> {escape(words)}</p></div>'
    )


def working(stage: str, fraction: float, left_seconds: float) -> str:
    """The progress of a run: stage, share, time left, and which stages are done."""
    names = list(STAGES)
    at = names.index(stage) if stage in names else 0
    name = names[at]
    items = [
        f'<li class="{"done" if index < at else "now" if index == at else ""}">{escape(name)}</li>'
        for index, name in enumerate(names)
    ]
    left = f"about {duration(left_seconds)} left"
    return (
        f'<div class="stages" data-state="working" data-announce="{escape(name)}">'
        f'<p class="now"><b>{escape(name)}</b> <span>{fraction:.0%}, {left}</span></p>'
        f'<div class="bar" role="progressbar" aria-label="Making the reactions" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{round(100 * fraction)}" aria-valuetext="{escape(name)}, {fraction:.0%}, {left}">'
        f'<i style="width:{fraction:.0%}"></i></div><ol>{"".join(items)}</ol></div>'
    )


def cancelled() -> str:
    """A run that the visitor ended."""
    return f'<div class="note" data-state="cancelled" data-announce="{escape(CANCELLED)}">{escape(CANCELLED)}</div>'


def trouble(sentence: str) -> str:
    """One sentence about what cannot be done."""
    return f'<div class="trouble" role="alert" data-state="failed">{escape(sentence)}</div>'


def outcome(result: ReactResult) -> str:
    """What a visitor should know about the run, as HTML."""
    seconds = result.seconds
    what = (
        f"Compared: {', '.join(title for title, _ in result.cells)}"
        if result.cells
        else f"Listening style: {result.style}"
    )
    words = [f"{result.frames / 25:.1f} s of video, made in {seconds:.0f} s. {what}."]
    notes = "<br>".join(escape(note) for note in [*words, *result.notes])
    done = "The reactions are ready."
    return f'<div class="note" data-state="done" data-announce="{done}">{notes}</div>' + habits_card(result.habits)


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
