"""The processes that answer: the listening socket, one worker or several, their connections, and their end."""
