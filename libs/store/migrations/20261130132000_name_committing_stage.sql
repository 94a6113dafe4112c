-- The stage from which on the provider may have the mail, in a word that holds for every protocol: a POST has no final dot.
ALTER TABLE send_attempts DROP CONSTRAINT send_attempts_stage_check;
UPDATE send_attempts SET stage = 'committing' WHERE stage = 'final_dot';
ALTER TABLE send_attempts ADD CONSTRAINT send_attempts_stage_check
    CHECK (stage IN ('started', 'committing', 'finished'));
ALTER TABLE send_attempts RENAME COLUMN final_dot_at TO committing_at;
