"""Operations that are no vendor's: how a change is handed over to the user's own processing."""
