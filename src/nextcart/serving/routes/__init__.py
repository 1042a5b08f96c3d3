"""The handlers of the routes, a module a group, and the table of them all."""
