"""Side by side with peers: each module writes its page of docs/."""
