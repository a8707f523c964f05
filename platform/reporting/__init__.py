"""Pictures, pages and tables of values, for the reports of all commands; ``figures`` makes a search's."""
