-- Records of withdrawn payloads are forgotten in time. That versions only grow (I27) is
-- not: what is greater than every version that was forgotten is newer than it.
CREATE TABLE payload_floor (
    enrolment INTEGER PRIMARY KEY REFERENCES enrolment ON DELETE CASCADE,
    version   INTEGER NOT NULL -- the greatest that was forgotten
) STRICT;
