"""What every room shares: records in, rows and effects out, and the state between. Nothing here waits."""
