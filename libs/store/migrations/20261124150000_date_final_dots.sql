-- When an attempt was about to send its final dot. A server may take ten minutes for its reply, and
-- the copy in the Sent folder may lag: only time tells a mail that is not there from one not there yet.
ALTER TABLE send_attempts ADD COLUMN final_dot_at timestamptz;
