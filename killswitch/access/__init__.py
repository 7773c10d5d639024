"""Who may do what: three roles as Django groups, and the record of log-ins and refusals."""
