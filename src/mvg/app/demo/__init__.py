"""`mvg demo`: all kinds of tasks but skull stripping, on real images that ship inside public packages."""
