"""The workbench: one process that serves a folder of studies to a page, a viewer or another program."""
