"""DICOM as scanners and archives export it: which files belong together, their pixels, and their position.

`files` lists DICOM files of a folder, an archive or a DICOMDIR; `series` chooses one series of them; `pixels` decodes
frames in physical units; `stack` orders them in space; `suv` scales PET. `mvg.imaging.formats.dicom` joins them.
"""
