"""Where numbers come from: the letters that constants, tables and constraints cite, and the words
that tell how a number was checked against its source (docs/sources.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["CHECKED", "SOURCES", "UNCHECKED"]

UNCHECKED = "not checked against the paper"
# word -> what was compared; a number has one of them, in the column `checked` of its table
CHECKED: Mapping[str, str] = MappingProxyType(
    {
        "paper": "the paper itself, its abstract or its table, where these are public",
        "httk": "the table of httk 2.7.4 (MIT), which names the paper",
        "repeated": "other open models that name the paper and repeat the number",
        "derived": "computed from rows that are here, by a program in bench/",
        "assumed": "a choice, which no paper is said to support",
        UNCHECKED: "taken as this source has it; nothing open was found to compare with",
    }
)

SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "A": "ICRP Publication 89 (2002), Basic anatomical and physiological data for use in "
        "radiological protection, Ann ICRP 32(3-4): sizes (table 2.9), organ masses without their "
        "blood, adipose tissue without yellow marrow (2.8), blood and its distribution (2.12 to "
        "2.14), cardiac output (2.39) and its distribution (2.40); adult man of 73 kg and woman "
        "of 60 kg",
        "B": "Brown et al. (1997), Physiological parameter values for PBPK models, Toxicol Ind "
        "Health 13:407-484, from the working group of the International Life Sciences Institute "
        "(Birnbaum et al. 1994), as in httk 2.7, tissue_data (MIT): organ masses of mouse, rat "
        "and dog; the allometric exponent. Tissue densities: US EPA Physiological Parameters "
        "Database, as in the same table",
        "B2": "httk 2.7, tissue_data (MIT), without a paper: brain, bone, lung and spleen of the "
        "monkey are its human's shares, the rabbit's bone is its rat's",
        "B3": "Reece (2015), Body temperature and its regulation, in: Dukes' Physiology of "
        "Domestic Animals 14:149; Jordan (1995), Temperature regulation in laboratory rodents, J "
        "Anat 186:228; Stammers (1926), The blood count and body temperature in normal rats, J "
        "Physiol 61:329, as in httk 2.7, physiology_data (MIT)",
        "B4": "Grandoni et al. (2019), Building in-house PBPK modelling tools for oral drug "
        "administration from literature information, ADMET DMPK 7:4-21, as in httk 2.7, "
        "physiology_data (MIT): residence in the small intestine",
        "C": "Poulin & Theil (2002), Prediction of pharmacokinetics prior to in vivo studies 1, J "
        "Pharm Sci 91:129-156: volume fractions of water, neutral lipids and phospholipids in "
        "human tissues and plasma",
        "D": "McNally et al. (2014), PopGen: a virtual human population generator, Toxicology "
        "315:70-85: variation of organ masses and flows between people, and the masses about "
        "which they vary (as in httk, organ_mass_flow_reference_by_sex: MIT)",
        "G": "Davies & Morris (1993), Physiological parameters in laboratory animals and humans, "
        "Pharm Res 10:1093-1095, as in httk 2.7, physiology_data and tissue_data (MIT): "
        "filtration rate and haematocrit of a man of 70 kg; animals' weight, blood, cardiac "
        "output and its distribution, filtration, proteins, urine, bile; organ masses of rabbit "
        "and monkey",
        "M": "Mosteller (1987), Simplified calculation of body-surface area, N Engl J Med 317:1098",
        "N": "NHANES 2013-2018 (CDC), adults, with survey weights (as in httk): 2.5 and 97.5 "
        "percentiles of body weight, height, body mass index, haematocrit, and of the CKD-EPI "
        "2009 filtration rate from serum creatinine; log sd of the body weight",
        "E": "Rowland Yeo, Rostami-Hodjegan & Tucker (2004), Abundance of cytochromes P450 in "
        "human liver: a meta-analysis, Br J Clin Pharmacol 57:687-688: pmol per mg of microsomal "
        "protein",
        "F": "Fallingborg et al. (1989), pH-profile and regional transit times of the normal gut "
        "measured by a radiotelemetry device, Aliment Pharmacol Ther 3:605-613: medians",
        "G2": "Davies & Morris (1993), as G: cardiac output of the rabbit and flows of the hepatic "
        "artery, mL/min, divided here by the body weight^0.75",
        "H": "Evans et al. (1988), Measurement of gastrointestinal pH profiles in normal ambulant "
        "human subjects, Gut 29:1035-1041: means",
        "I": "Dallman (1977), in Rudolph (ed.), Pediatrics, 16th ed., 1111: mean haematocrit from "
        "birth (cord blood) to half a year",
        "J": "Johnson, Rostami-Hodjegan & Tucker (2006), Prediction of the clearance of eleven "
        "drugs and associated variability in neonates, infants and children, Clin Pharmacokinet "
        "45:931-956: plasma proteins and enzymes over age",
        "K": "Levey et al. (2009), A new equation to estimate glomerular filtration rate, Ann "
        "Intern Med 150:604-612: CKD-EPI 2009, here without its factor of race; below 18 years "
        "Schwartz et al. (2009), New equations to estimate GFR in children with CKD, J Am Soc "
        "Nephrol 20:629-637",
        "L": "Yu & Amidon (1999), A compartmental absorption and transit model for estimating oral "
        "drug absorption, Int J Pharm 186:119-125, as in httk 2.7, physiology_data (MIT): radius "
        "of the small intestine",
        "O": "Agoram, Woltosz & Bolger (2001), Adv Drug Deliv Rev 50:S41-S67: fasted stomach",
        "P": "Davies & Shock (1950), Age changes in glomerular filtration rate, effective renal "
        "plasma flow, and tubular excretory capacity in adult males, J Clin Invest 29:496-507: per "
        "1.73 m2, 122.8 and 613 mL/min at 20 to 29 years, 65.3 and 289 at 80 to 89",
        "Q": "Dressman et al. (1990), Upper gastrointestinal (GI) pH in young, healthy men and "
        "women, Pharm Res 7:756-761: fasted median",
        "R": "Rhodin et al. (2009), Human renal function maturation, Pediatr Nephrol 24:67-76: "
        "121.2 mL/min at 70 kg, half of it at 47.7 weeks after menstruation, Hill exponent 3.4",
        "S": "Carlsson et al. (2012), J Cardiovasc Magn Reson 14:51: cardiac index 3.2, sd 0.5 "
        "L/min/m2",
        "T": "Katori (1979), Normal cardiac output in relation to age and body size, Tohoku J Exp "
        "Med 128:377-387: cardiac index 4.874 - 0.023 age, here from 30 to 85 years",
        "U": "Yu, Crison & Amidon (1996), Compartmental transit and dispersion model analysis of "
        "small intestinal transit flow in humans, Int J Pharm 140:111-118: 199 min",
        "V": "Mitchell et al. (2012), Sarcopenia, dynapenia, and the impact of advancing age on "
        "human skeletal muscle size and strength, Front Physiol 3:260: 0.47 % of the muscle a year "
        "in men, 0.37 % in women; from 45 years: Janssen et al. (2000), J Appl Physiol 89:81-88",
        "W": "Willmann et al. (2007), Development of a physiology-based whole-body population "
        "model, J Pharmacokinet Pharmacodyn 34:401-431: masses of organs over body height, with "
        "these exponents",
        "X": "Chouker et al. (2004), Estimation of liver size for liver transplantation, Liver "
        "Transpl 10:678-685: 1390 + 15.94 kg - 12.86 age (g) from 51 to 70 years, here at 73 kg",
        "Y": "Stark & Pakkenberg (2004), Cell Tissue Res 318:81-92: 2 to 3 % of the brain's weight "
        "a decade from 50 to 90 years",
        "Z": "Zoli et al. (1999), Total and functional hepatic blood flow decrease in parallel "
        "with ageing, Age Ageing 28:29-33: 1445 mL/min below 45 years, 1020 above 75",
        "AA": "Janmahasatian et al. (2005), Quantification of lean bodyweight, Clin Pharmacokinet "
        "44:1051-1065",
        "AB": "Jelsing, Hemmingsen & Pakkenberg (2006), The postnatal development of neocortical "
        "neurons and glial cells in the Gottingen minipig and the domestic pig brain, J Exp Biol "
        "209:1454-1462, table 2: five grown Gottingen minipigs of 37.9 kg, brain 79.0 g",
        "AC": "Hepatic blood flow in adult Gottingen minipigs and pre-pubertal Danish Landrace x "
        "Yorkshire pigs, Lab Anim 55:350-357 (2021), abstract: liver 0.58 kg, here at 37.9 kg; "
        "the artery's part 12 % of the liver's flow, here of the pig's (AD): the 363 mL/min that "
        "were measured are of anaesthesia and an open abdomen",
        "AD": "Upton (2008), Organ weights and blood flows of sheep and pig for physiological "
        "pharmacokinetic modelling, J Pharmacol Toxicol Methods 58:198-205, as quoted by Mi et "
        "al. (2024) and Yang et al. (2025), PBPK models of aditoprim and matrine in pigs: "
        "cardiac output 4.944 L/h/kg, here taken for a minipig's 37.9 kg, shares of it and of "
        "the weight, blood 0.06 L/kg",
        "AE": "Lin et al. (2020), Physiological parameter values for PBPK models in "
        "food-producing animals, Part I: Cattle and swine, J Vet Pharmacol Ther 43:385-420, as "
        "quoted by the swine models of its authors: haematocrit",
        "AF": "Lin, Vahl & Riviere (2016), Human food safety implications of variation in food "
        "animal drug metabolism, Sci Rep 6:27907, as quoted by Zhou et al. (2021), Pharmaceutics "
        "13:602, table S1: lung",
        "AG": "Margaillan et al. (2015), Multiplexed targeted quantitative proteomics predicts "
        "hepatic glucuronidation potential, Drug Metab Dispos 43:1331-1335, abstract: pmol per "
        "mg of microsomal protein, UGT2B7 69; UGT1A1, 1A4, 2B4 and 2B15 30 to 34, here 32 each",
        "AH": 'Paine et al. (2006), The human intestinal cytochrome P450 "pie", Drug Metab '
        "Dispos 34:880-886, abstract: means of 31 donors, pmol per mg of microsomal protein; "
        "CYP3A4 with CYP3A5",
        "AI": "Paine et al. (1997), Characterization of interintestinal and intraintestinal "
        "variations in human CYP3A-dependent metabolism, J Pharmacol Exp Ther 283:1552-1562, "
        "abstract: medians, pmol of CYP3A per mg of microsomal protein",
        "AJ": "Prasad et al. (2014), Interindividual variability in hepatic OATPs and "
        "P-glycoprotein protein expression, Drug Metab Dispos 42:78-88: means of 64 livers, pmol "
        "per mg of membrane protein",
        "AK": "Helander & Fandriks (2014), Surface area of the digestive tract - revisited, "
        "Scand J Gastroenterol 49:681-689, abstract: 5 m from mouth to anus, two thirds of it "
        "small intestine; inner diameters 2.5 and 4.8 cm; folds; mucosa 32 m2 in all (stomach "
        "and oesophagus counted with the small intestine), 2 of them of the large intestine",
        "AL": "Carr & Toner (1984) and Daugherty & Mrsny (1999), as quoted in a textbook of drug "
        "absorption: 5, 50 and 45 % of the length of the small intestine",
        "AM": "Dellschaft et al., Small bowel water content assessed by MRI in health and "
        "disease: a collation of single-centre studies, abstract: fasting, mean 82 (sd 65) mL",
        "AN": "McConnell, Basit & Murdan (2008), Measurements of rat and mouse gastrointestinal "
        "pH, fluid and lymphoid tissue, J Pharm Pharmacol 60:63-70, abstract: fasted",
        "AO": "Merchant et al. (2011), Assessment of gastrointestinal pH, fluid and lymphoid "
        "tissue in the guinea pig, rabbit and pig, Eur J Pharm Sci 42:3-10, abstract: fed; small "
        "intestine 6.4 to 7.4 and, of the pig, 6.1 to 6.7: here the middle",
        "AP": "Lui et al. (1986), Comparison of gastrointestinal pH in dogs and humans, J Pharm "
        "Sci 75:271-274, abstract: fasted beagles",
        "AQ": "Chen et al. (2008), Gastric pH and gastric residence time in fasted and fed "
        "conscious cynomolgus monkeys, abstract: fasted, 1.9 to 2.2: here the middle",
        "AR": "Ikegami et al. (2003), Suitability of the cynomolgus monkey as an animal model "
        "for drug absorption studies, Biol Pharm Bull 26:1442-1447, abstract: fasted, 2.2 to 4.2 "
        "h: here the middle",
        "AS": "Henze et al. (2020), Characterization of gastrointestinal transit and luminal "
        "conditions in pigs using a telemetric motility capsule, abstract: 2.3 to 4.0 h: here "
        "the middle",
        "AT": "Prasad et al. (2016), Ontogeny of hepatic drug transporters as quantified by "
        "LC-MS/MS proteomics, Clin Pharmacol Ther 100:362-370, table 1: pmol per mg of membrane "
        "protein",
        "AU": "Harwood et al. (2019), meta-analysis of transporters in the gut of adult "
        "Caucasians, Drug Metab Dispos, table 2: means, proximal jejunum, pmol per mg of "
        "membrane protein",
        "AV": "Eriksen et al. (2020), GFR in healthy aging: an individual participant data "
        "meta-analysis of iohexol clearance in European population-based cohorts, J Am Soc Nephrol "
        "31:1602-1615, abstract: from 50 to 97 years men lose 0.72 (healthy, 22 %) to 1.03, women "
        "0.92 to 1.22 mL/min/1.73 m2 a year",
    }
)
