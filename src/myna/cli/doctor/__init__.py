"""`myna doctor`, one file per subject: each checks one part of the machine or the installation."""
