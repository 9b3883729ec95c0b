"""What the leader does for hiring: deadlines, scores, snapshots, retention, figures."""
