"""Colours and letters of the page."""

import gradio as gr

THEME = gr.themes.Base(
    primary_hue=gr.themes.Color(
        c50="#fdf4f1", c100="#f9e3dc", c200="#f2c6b9", c300="#e8a18c", c400="#d97a5f", c500="#c45a3f", c600="#b4472f",
        c700="#953a27", c800="#7a3224", c900="#652d22", c950="#371510",
    ),
    neutral_hue="stone",
    radius_size="lg",
    font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif"],
    font_mono=["ui-monospace", "Consolas", "monospace"],
).set(
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    button_primary_text_color="white",
)  # fmt: skip
