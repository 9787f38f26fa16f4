"""mvg in napari: show examples from layers, have an image answered, paint corrections, go on."""
