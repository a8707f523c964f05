"""Values to pictures, pages and tables, for every command; nothing here reads a study or trains.

``figures`` makes files; ``panels``, ``style``, ``tables`` and ``error_bars`` are for reports of other packages.
"""
