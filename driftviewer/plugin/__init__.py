"""The window, and what napari's own menus offer; the only place that knows napari."""
