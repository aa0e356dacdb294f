-- VACUUM is refused: refinery runs every migration in a transaction.
ANALYZE;
