"""Languages as others write them: `eng`, `eng_Latn`, `en-US` are `en`."""

# ISO 639-3 and 639-2 codes of the languages that have one of two letters (ISO 639-1), those of a
# macrolanguage's main member among them, as in FLORES and GlotLID; and former codes of two letters.
_TWO_LETTERS = """
aar aa abk ab afr af aka ak twi tw amh am ara ar arb ar arg an asm as ava av ave ae aym ay ayr ay aze az azj
az bak ba bam bm bel be ben bn bis bi bod bo tib bo bos bs bre br bul bg cat ca ces cs cze cs cha ch che ce
chu cu chv cv cor kw cos co cre cr cym cy wel cy dan da deu de ger de div dv dzo dz ell el gre el eng en epo
eo est et ekk et eus eu baq eu ewe ee fao fo fas fa per fa pes fa fij fj fin fi fra fr fre fr fry fy ful ff
fuv ff gla gd gle ga glg gl glv gv grn gn gug gn guj gu hat ht hau ha heb he her hz hin hi hmo ho hrv hr hun
hu hye hy arm hy ibo ig ido io iii ii iku iu ile ie ina ia ind id ipk ik isl is ice is ita it jav jv jpn ja
kal kl kan kn kas ks kat ka geo ka kau kr knc kr kaz kk khm km kik ki kin rw kir ky kom kv kon kg kor ko kua
kj kur ku kmr ku lao lo lat la lav lv lvs lv lim li lin ln lit lt ltz lb lub lu lug lg mah mh mal ml mar mr
mkd mk mac mk mlg mg plt mg mlt mt mon mn khk mn mri mi mao mi msa ms may ms zsm ms mya my bur my nau na nav
nv nbl nr nde nd ndo ng nep ne npi ne nld nl dut nl nno nn nob no nor no nya ny oci oc oji oj ori or ory or
orm om gaz om oss os pan pa pli pi pol pl por pt pus ps pbt ps que qu quy qu roh rm ron ro rum ro run rn rus
ru sag sg san sa sin si slk sk slo sk slv sl sme se smo sm sna sn snd sd som so sot st spa es sqi sq alb sq
srd sc srp sr ssw ss sun su swa sw swh sw swe sv tah ty tam ta tat tt tel te tgk tg tgl tl fil tl tha th tir
ti ton to tsn tn tso ts tuk tk tur tr uig ug ukr uk urd ur uzb uz uzn uz ven ve vie vi vol vo wln wa wol wo
xho xh yid yi ydd yi yor yo zha za zho zh chi zh cmn zh zul zu iw he in id ji yi jw jv mo ro nb no
"""
_UNSAID = ("und", "mul", "mis", "zxx")  # codes that name no language
_PAIRS = _TWO_LETTERS.split()
_KNOWN = frozenset(_PAIRS[1::2])
_SHORT = dict(zip(_PAIRS[::2], _PAIRS[1::2], strict=True))


def is_language(code: str) -> bool:
    """Whether a code of two letters is that of a language, also with a script or a region behind it."""
    return code.partition("-")[0] in _KNOWN


def declared_language(given: str) -> str:
    """The code of a language that somebody declares; "" where it is none, as `English` or `und`."""
    code = language_code(given)
    return code if code.isascii() and code.isalpha() and len(code) in (2, 3) and code not in _UNSAID else ""


def language_code(given: str) -> str:
    """A declared language as documents name it: of two letters where there are, without script or country."""
    code = given.strip().lower().replace("_", "-").partition("-")[0]
    return _SHORT.get(code, code)
