"""The tape: raw venue frames become trade ticks, quote ticks, exact books and a watermark per connection."""
