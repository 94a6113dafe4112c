-- When a newer token was last asked for. Whoever sees each new token as over, such as a consumer whose
-- clock is ahead, must not have them refreshed one after the other.
ALTER TABLE grants ADD COLUMN refresh_asked_at timestamptz;
