"""What can be taken away from a run, for other programs. Light to import: the shell's --help needs the names."""

EXPORTS: dict[str, str] = {
    "npz": "all coefficients as NumPy arrays",
    "csv": "the coefficients of each reaction as a table",
    "settings": "the settings, with which the run can be made again",
    "live-link": "each reaction as a recording of Live Link Face (CSV)",
    "glb": "each reaction as a moving head (glTF, one file)",
    "webm": "each moving head without a ground (VP9 with alpha, silent), as 'react --transparent' writes it",
    "obj": "the head in one frame of each reaction, with its textures",
    "ply": "the head in one frame of each reaction, coloured at its vertices",
    "still-glb": "the head in one frame of each reaction (glTF)",
    "style": "the listener's weight shift, for 'react --shift'",
}
"""Name -> what it is."""
IN_EVERY_FOLDER = ("npz", "csv", "settings")  # a run writes them unasked
MADE_AFTERWARDS = tuple(name for name in EXPORTS if name not in IN_EVERY_FOLDER)
MADE_WHEN_ASKED = tuple(name for name in MADE_AFTERWARDS if name != "webm")  # for which a run has a setting of its own
OF_A_HEAD = ("glb", "webm", "obj", "ply", "still-glb")
STYLE_FILE = "style.safetensors"
EXPORT_FILES = r"reaction_\d+(_live_link\.csv|\.glb|_frame_\d+(_\w+)?\.(obj|mtl|png|ply|glb))|style\.safetensors"
"""The names of the files of MADE_WHEN_ASKED, as a regular expression."""
