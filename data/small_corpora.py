"""Writes haiku.txt and names.txt, again and the same: python data/small_corpora.py

Both are made of the words and patterns below, which were written for this project, and of a fixed seed. The digit of a
blank is its number of syllables, so that the lines of a haiku have five, seven and five.
"""

from __future__ import annotations

import random
import re
from itertools import product
from pathlib import Path

HERE = Path(__file__).resolve().parent
HAIKU = 1_600
SEED = 575

ANY = """
place1: bridge gate wall well barn porch road lane field hill shore pier step yard ditch mill church shed path stairs
place2: garden doorway orchard meadow harbor station courtyard chapel market village stable kitchen
way2: river railway highway coastline stairway valley footpath hillside
thing1: cup bowl shoe coat hat chair lamp key rope boat bell kite spoon broom map drum book glove clock jar scarf
hold1: cup bowl shoe hat boat jar spoon glove bell sink pail pot
thing2: lantern bucket basket teapot letter candle ladder kettle mirror button blanket hammer pencil
things2: buckets windows baskets benches bottles chimneys lanterns teacups houses stables pockets
pair1: stones roofs boats hills walls posts doors rails graves clouds barns bells
kin2: mother father sister brother neighbor daughter grandson teacher uncle auntie landlord baker
mends1: mends sweeps folds counts hides cleans finds lifts keeps warms holds paints
old1: old last plain cracked blue small worn bent spare good odd red
waits1: waits sleeps turns stops calls drinks hides rests limps looks
crosses2: crosses circles watches follows enters forgets measures visits borrows questions
hears1: hears sees minds feeds names counts owes paints
time1: dawn dusk noon night
still1: still wide small dark far clear strange bright close deep
"""
SEASONS = (
    """
first1: first late soft thin light new brief warm
sky1: rain mist wind light mud fog grass dew
night2: April morning evening Sunday springtime
bird1: wren frog bee hare lark toad duck calf lamb goose snail cat
bird2: swallow robin sparrow blackbird kitten gosling linnet starling magpie pigeon
leaf1: bud plum seed moss bloom fern branch nest reed stem
leaf2: blossom petals puddles clover catkins seedlings willows cowslips
heavy2: heavy muddy yellow dizzy sleepy silver crowded
""",
    """
first1: long hot slow dry white full loud short
sky1: heat dust sun hay shade salt sand light
night2: August evening midday Sunday thunder solstice
bird1: moth frog bee wasp cat gull fly hawk trout mule dog newt
bird2: cricket spider heron lizard beetle turtle swallow donkey minnow hornet
leaf1: rose wheat thyme peach mint fig vine straw pear leaf
leaf2: barley cherries melons poppies thistles nettles berries roses
heavy2: heavy drowsy golden dusty lazy honeyed
""",
    """
first1: first red brown cold damp brief pale bare
sky1: smoke rain mist rust wind fog dew frost
night2: evening harvest moonrise Monday autumn
bird1: crow goose fox owl deer rook mouse hare dog crane rat mole
bird2: badger spider squirrel cricket heron pheasant hedgehog otter raven magpie pony
leaf1: leaf pear oak nut corn plum thorn grape husk bark
leaf2: acorns apples mushrooms bracken chestnuts pumpkins brambles maples
heavy2: heavy rusty smoky bitter golden weary
""",
    """
first1: first hard deep thin grey fresh bright late
sky1: snow frost ice sleet wind dark fog cold
night2: winter midnight evening Sunday daybreak
bird1: crow fox owl wren hare cat dog goose stag rook horse mouse
bird2: robin raven heron sparrow blackbird donkey otter jackdaw puppy reindeer
leaf1: pine root stump branch thorn fir wood birch reed twig
leaf2: holly pinecones cedar embers turnips branches moonlight
heavy2: heavy silent silver frozen sleepless weary
""",
)
FIRST = """
{first1} {sky1} on the {place1}
{first1} {sky1} in the {place1}
the {place2} at {time1}
the {way2} at {time1}
after the {first1} {sky1}
before the {first1} {sky1}
{bird2} in the {sky1}
{leaf2} by the {place1}
{leaf2} in the {sky1}
a {thing1} on the {place1}
{first1} {sky1} by the {place1}
{time1}, and the {first1} {sky1}
{sky1} in the {place2}
{night2}, the {first1} {sky1}
{night2} and {first1} {sky1}
this {first1} {sky1} again
at the {place2} gate
"""
SECOND = """
a {bird2} {waits1} by the {place1}
the {bird1} listens to the {sky1}
one {bird2} {crosses2} the {place1}
nobody {hears1} the {bird2}
someone has left a {thing2}
my {kin2} {mends1} the {old1} {thing1}
all the {things2} are empty
between two {pair1}, one {bird2}
under the {leaf1}, a {old1} {thing1}
my {kin2} speaks to the {bird1}
the {sky1} has come to the {place1}
only a {bird2} is late
the {hold1} is full of {leaf2}
again the {bird1} {waits1} and {waits1}
I carry home the {thing2}
the {bird2} knows the {old1} {place1}
we wait with the {old1} {thing2}
the {bird2} and the {bird2}
I lend the {bird1} my {old1} {thing1}
how long has the {bird1} been here
"""
THIRD = """
and then only {sky1}
the {way2} goes on
how {still1} the {place1} is
nothing else is left
the moon in a {hold1}
a {thing1} left behind
still {heavy2} with {sky1}
I forget its name
we walk home slowly
no one is waiting
{sky1} for the {bird2}
and the {leaf1} lets go
{sky1} for just one {leaf1}
a whole year of {sky1}
as if it were {time1}
the same old {leaf2}
it begins again
the {leaf1} leans a bit
and the {bird1} knows it
my {hold1}, full of {sky1}
neither of us speaks
the {old1} {thing1} answers
and no {bird1} to see
its shadow comes too
I set down my {thing1}
"""
STEMS = """
Al Am An Ar Bar Bel Ber Bor Bran Bren Cal Cam Car Cas Cel Cor Dal Dan Dar Del Dor Dun Ed El Em Er Es Fal Far Fen Fin
Gal Gar Gil Glen Gwen Hal Har Hel Il Im Ir Is Jas Jor Kal Kel Ken Kir Lan Lar Len Lin Lor Lu Mal Mar Mel Mer Mir Mor
Nal Ner Nim Nor Ol Or Os Pel Per Quen Ra Rel Rin Ros Row Sal Sel Ser Sil Sor Tal Tam Tar Ter Thal Thor Tor Ul Ur Val
Ver Vil Vor Wal Wen Wil Win Wyn Yar Yel Zan Zel
"""
ENDINGS = """
a ada adel aine ald ana and anor ara aric as ath by dan dell den der din don dora dric ed eda el ela ena eth ette fred
gard gil ia ian ica iel ilda in ina ine ira is issa ius len leth lia lin lo lyn mar mere mon mund na neth nor ny o on
ora oric os rick rin ron rose set son ston ta ten ton us va van vin ward well wen wick wyn
"""


def read_words(*texts: str) -> dict[str, list[str]]:
    """Return the words of each kind. One that ends in a colon has more syllables than its kind, and is left out."""
    kinds: dict[str, list[str]] = {}
    for line in "".join(texts).split("\n"):
        kind, _, words = line.partition(": ")
        if words:
            kinds[kind] = [word for word in words.split() if not word.endswith(":")]
    return kinds


def fill(pattern: str, words: dict[str, list[str]], used: set[str], rng: random.Random) -> str:
    """Fill the blanks of a pattern, with no word twice in a poem."""

    def choose(match: re.Match[str]) -> str:
        word = rng.choice([word for word in words[match[1]] if word not in used])
        used.add(word)
        return word

    line = re.sub(r"\{(\w+)\}", choose, pattern)
    return re.sub(r"\ba (?=[aeiou])", "an ", line)


def write_haiku(rng: random.Random) -> str:
    """Return all haiku, of which no two begin with the same two lines."""
    first, second, third = (patterns.strip().split("\n") for patterns in (FIRST, SECOND, THIRD))
    poems: dict[str, str] = {}
    while len(poems) < HAIKU:
        words, used = read_words(ANY, rng.choice(SEASONS)), set()
        lines = [fill(rng.choice(patterns), words, used, rng) for patterns in (first, second, third)]
        pause = rng.choice(("", "", ",", ":", " -"))
        end = "?" if lines[1].startswith("how long") else rng.choice(("", "", "", ";"))
        poem = f"{lines[0]}{pause}\n{lines[1]}{end}\n{lines[2]}."
        poems[f"{lines[0]} {lines[1]}"] = poem[0].upper() + poem[1:]
    return "\n\n".join(poems.values()) + "\n"


def write_names(rng: random.Random) -> str:
    """Return all names that can be spoken, in any order."""
    names = {stem + ending for stem, ending in product(STEMS.split(), ENDINGS.split())}
    hard = re.compile(
        r"[aeiouy]{3}|[^aeiouy]{4}|(.)\1\1|([aeiou])\2|(?<!i)[aeiou]{2}$|[lrn][lr](?=[^aeiouy])|nr|lr|rl|ln|mn|td|dt|sr"
    )
    rude = re.compile(r"urin|anus|anal|semen|cum|tit|dic|cock|rape|porn|sex|slut|nig|fag")
    names = {name for name in names if 4 <= len(name) <= 10}
    names = {name for name in names if not hard.search(name.lower()) and not rude.search(name.lower())}
    ordered = sorted(names)
    rng.shuffle(ordered)
    return "\n".join(ordered) + "\n"


if __name__ == "__main__":
    (HERE / "haiku.txt").write_text(write_haiku(random.Random(SEED)), encoding="ascii", newline="\n")
    (HERE / "names.txt").write_text(write_names(random.Random(SEED)), encoding="ascii", newline="\n")
