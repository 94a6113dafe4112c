-- A refresh token goes to no other origin than it came from, a client secret to no other than it was given for. Null: from
-- before this was kept; the origin of the next use is taken.
ALTER TABLE grants ADD COLUMN token_origin text;
ALTER TABLE client_configurations ADD COLUMN token_origin text;
