"""The jobs that join the rooms: train, evaluate, recommend in batch, unfold a session."""
