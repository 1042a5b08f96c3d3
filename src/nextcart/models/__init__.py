"""The models, and the recommender that joins them into the one scoring path."""
