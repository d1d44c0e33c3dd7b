"""The paper's stages, trained on data in the layout of REACT 2024."""
