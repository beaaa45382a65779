"""Qt panels of the window; they know the state but not napari."""
