"""How a delivery becomes durable: in the database, together with others, or in the spool while there is none."""
