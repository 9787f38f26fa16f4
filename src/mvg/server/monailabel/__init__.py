"""MONAI Label's protocol, version 0.8: 3D Slicer's plug-in labels with mvg, other viewers infer.

Each segmentation is a model; labels are class numbers 1, 2, ... in its order. A submitted label is an example at once.
"""
