"""Symptoms: what of a watched training is not as it should be, each with its number."""

from chainrule.diagnosis.symptoms.find import SYMPTOMS, symptoms_of
from chainrule.diagnosis.symptoms.record import Record

__all__ = ["SYMPTOMS", "Record", "symptoms_of"]
