"""What several tests share: clips, portraits, weights and configurations, small and made on the spot."""
