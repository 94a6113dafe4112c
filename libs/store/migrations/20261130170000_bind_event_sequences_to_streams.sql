-- A sequence means nothing in another stream: one that was deleted and made anew counts from 1 again. NULL where the
-- sequence was recorded before this column was.
ALTER TABLE account_status ADD COLUMN event_stream_created_at timestamptz;
