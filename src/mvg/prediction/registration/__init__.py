"""Registration: the displacement field that aligns a moving image with a fixed one."""
