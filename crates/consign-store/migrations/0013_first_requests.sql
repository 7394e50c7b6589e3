-- The request of an attempt as it was made, without its sign-in: sealed under the payload key of the attempt, kept of the
-- first one of a delivery that left, and removed with the payload.
alter table attempt add column request blob;

-- The delivery whose first request is sent, exactly as it was; absent: a request is made with the present set-up.
alter table delivery add column sent_as text;
