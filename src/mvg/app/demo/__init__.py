"""`mvg demo`: all tasks on real images that ship inside public packages."""
