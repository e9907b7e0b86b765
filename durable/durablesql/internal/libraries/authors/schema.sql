CREATE TABLE authors (
  id         INTEGER PRIMARY KEY,
  name       TEXT NOT NULL UNIQUE,
  bio        TEXT,
  active     BOOLEAN NOT NULL,
  rating     REAL NOT NULL,
  created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
