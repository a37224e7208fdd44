-- People who signed in with a browser, and what became of one document.

create table lockgate.session (
  -- SHA-256 of 256 random bits, which only the browser has.
  hash       bytea primary key,
  -- The token it stands for: what becomes of that becomes of the session.
  token_id   text references lockgate.api_token on delete cascade,
  -- Without a token: who an issuer said this is, and the roles that its rules gave then.
  subject    text,
  grants     jsonb,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  check ((token_id is null) = (subject is not null))
);
create index session_expires on lockgate.session (expires_at);

create index change_document on lockgate.change (document_id, at desc);
